"""Pullover or dress? Two models on the same pictures, and whether the difference is more than luck.

    python examples/gallery/pullover_or_dress.py

It writes the folder pullover-or-dress: weights.png is what the linear model looks for.
"""

import sevensteps as ss

linear = ss.train("pullover-dress", recipe="linear", out="pullover-or-dress/linear", plots=True)
relu = ss.train("pullover-dress", recipe="relu", out="pullover-or-dress/relu")
print("linear:", linear.score)
print("relu:  ", relu.score)
print(ss.compare(linear, relu))
