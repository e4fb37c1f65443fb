"""Review sessions for COVID-19 chest CT: segment, correct, learn from the corrections, export."""
