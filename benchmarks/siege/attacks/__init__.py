"""What is done to the server, by what carries it or what it is about; `ATTACKS` and `ENDINGS` list it."""
