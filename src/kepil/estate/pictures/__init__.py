"""Pictures of the estate for its documents: diagrams as SVG, pages as HTML and Markdown, all from the model."""
