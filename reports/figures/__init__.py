"""Drawing: functions from numbers to Plotly figures, without colours of a theme."""
