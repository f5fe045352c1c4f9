"""The command line, the one configuration, the graph and its runners."""
