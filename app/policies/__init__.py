"""Policies: who may spend how much. One function on every path that spends, decided under the wallet's lock.

Promised: no cap and no budget is ever exceeded, however many ask at once; a dry run says what the real decision would.
"""
