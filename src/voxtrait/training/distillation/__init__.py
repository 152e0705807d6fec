"""Small students that learn from large teachers: the fast encoder, the quick detector of speech."""
