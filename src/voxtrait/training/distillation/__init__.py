"""Students distilled from larger networks: the fast encoder and the quick speech detector."""
