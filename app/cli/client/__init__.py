"""The client half of the command line: speaks to the API over HTTP as anybody else would."""
