"""The command line: parsing, words for the terminal, exit codes. The work is done by the service, as for the window."""
