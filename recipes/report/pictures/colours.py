"""The colours of all pictures, by Okabe and Ito: colour-blind people can distinguish them."""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#555555", "#000000")
