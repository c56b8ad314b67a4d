"""What the dashboard and the HTTP API have in common."""
