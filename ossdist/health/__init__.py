"""What a transfer notices of its network: measurements, and what they mean."""
