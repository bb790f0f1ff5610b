"""What the command line knows: one module a noun, each with `register(subparsers)`."""

NOUNS = ("ca", "ceremony", "certificate", "change", "database", "estate", "gateway", "network", "ra")
