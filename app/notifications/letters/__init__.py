"""Letters: which events are told by e-mail, to whom, and who has chosen otherwise."""
