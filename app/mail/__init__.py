"""Mail: what is told by e-mail, written in the transaction of the change and sent afterwards."""
