"""`transom predict`: texts from arguments, files and tables; predictions from a model or a server."""
