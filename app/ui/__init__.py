"""The window: pages, controls, theme, words and numbers in the person's language.

It reaches the rest of Pult only through `app.client` and the words in `app.shared`; never the service itself.
"""
