"""What the candidate, the live model and the linear baseline predict for each row: computed once, kept as files."""
