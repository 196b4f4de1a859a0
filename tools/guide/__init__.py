"""The guide model's workshop: its corpus, vocabulary, network, training, export and evaluation. Nothing here runs in Pult."""
