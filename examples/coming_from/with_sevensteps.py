"""docs/coming-from.md with sevensteps: learn from the folder photos, test on new-photos, classify new.jpg.

`python bench/coming_from.py` makes the pictures, and runs this and the same job with other libraries.
"""

import sevensteps as ss

splits = ss.load("photos")
print(splits.classes, len(splits.train))

run = ss.train("photos", save=True)
print(run.score)

answers = ss.predict(run, "new-photos/*/*.jpg")
print(f"accuracy {sum(answer.best == answer.file.split('/')[-2] for answer in answers) / len(answers):.3f}")

print(ss.predict(run, "new.jpg"))
run.learn.export("model.safetensors")
print(ss.doctor(run))
print(ss.xray(run))
print(ss.resume(run, epochs=1).score)
