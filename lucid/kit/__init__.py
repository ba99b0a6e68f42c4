"""What every Lucid service stands on. Nothing here knows what any one service does."""
