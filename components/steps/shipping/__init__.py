"""The steps after the evaluation: the gates of the server and the edge bundle, the push, the report."""
