"""Students distilled from larger networks: the fast encoder, the quick detector of speech."""
