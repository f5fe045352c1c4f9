"""What is worth a look in a table, as sentences."""
