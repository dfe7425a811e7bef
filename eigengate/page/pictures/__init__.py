"""Pictures for the page, one per file: inline SVG, and PNGs as data URIs. Colours come from the page's style sheet."""
