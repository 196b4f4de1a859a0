"""The frame around the pages: rail, strip, palette, banners, toasts, dialogs."""
