"""Kepil: infrastructure as code for a national PKI and gateway estate."""
