"""What a person sees: live lines, plain lines, JSON Lines, and streams as they really are."""
