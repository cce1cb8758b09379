"""English: sentences, words and phrases, their parts of speech, and which adjectives are acoustic."""
