"""The account itself, and opening further ones: an organization has one wallet and its people share it."""
