"""What happens between fits."""
