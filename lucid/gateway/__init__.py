"""The way in: people reach Lucid's services through here, and only what is meant for them."""
