"""The colours of all pictures: those of Okabe and Ito, which colour-blind people can tell apart."""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#555555", "#000000")
