"""The dashboard. Only this package imports Streamlit."""
