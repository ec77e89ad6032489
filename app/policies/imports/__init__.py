"""Imports: configuration files of the two shapes that circulate, read tolerantly and turned into policies.

Whatever is not understood is told with its line and left out; nothing that is not understood ever widens what is
allowed. Credentials in such a file are never kept nor repeated.
"""
