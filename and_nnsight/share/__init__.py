"""What others can read of a dissection: tables of its units, for pandas, spreadsheets and programs."""
