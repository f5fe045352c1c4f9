"""The sections of the report, each a function from the run's facts to blocks. They hold no HTML."""
