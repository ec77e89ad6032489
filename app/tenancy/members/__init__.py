"""Members: the people of an account and their roles.

Promises: an account never is without an owner, also when two leave at once; only owners make and unmake owners; who is
removed loses its teams, its keys and what it invited others to in the same transaction. Table: users.
"""
