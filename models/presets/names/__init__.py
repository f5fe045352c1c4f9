"""Names on the hubs: those that are known, and handles as people write them. No downloads, no errors for users."""
