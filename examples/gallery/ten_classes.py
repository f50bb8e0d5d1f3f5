"""Ten kinds of clothes, from 700 pictures of each. Which does the model mix up?

    python examples/gallery/ten_classes.py

It writes the folder ten-classes: confusion.png counts the mistakes, mistakes.png shows the surest of them.
"""

import sevensteps as ss

run = ss.train("fashion-mini", recipe="cnn", epochs=5, out="ten-classes", plots=True)
print(run.score)
print(ss.judge(run))
