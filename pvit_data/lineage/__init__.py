"""Where each field comes from, under which licence, and whether it may be passed on."""
