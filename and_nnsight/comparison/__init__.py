"""Two dissections over the same clips: units that answer to the same, and what is lost and gained."""
