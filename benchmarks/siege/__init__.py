"""A siege of the real server: its limits, probes that ask all the while, attacks, and a fuzzer. No figures here."""
