"""The report as one page of HTML that needs nothing else: data, styles and scripts inside."""
