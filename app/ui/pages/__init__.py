"""The pages of the window, one folder or module each; a page knows the context and never another page."""
