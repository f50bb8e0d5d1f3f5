"""docs/coming-from.md with fastai: learn from the folder photos, test on new-photos, classify new.jpg.

It starts from random weights, because this has no network. Without `pretrained=False`, fastai downloads better ones,
and `learn.fine_tune(3)` is the usual training.
"""

from fastai.vision.all import (
    ImageDataLoaders,
    Resize,
    accuracy,
    get_image_files,
    load_learner,
    resnet18,
    set_seed,
    vision_learner,
)

set_seed(0)
dls = ImageDataLoaders.from_folder("photos", valid_pct=0.2, bs=16, item_tfms=Resize(32), num_workers=0)

learn = vision_learner(dls, resnet18, pretrained=False, metrics=accuracy)
with learn.no_bar():
    learn.fit_one_cycle(5)

    test = dls.test_dl(get_image_files("new-photos"), with_labels=True)
    print(f"accuracy {learn.validate(dl=test)[1]:.3f}")
    print(learn.predict("new.jpg"))

    learn.export("model.pkl")
    learn.fit(1)
    print(f"one more epoch: {learn.validate(dl=test)[1]:.3f}")
    print(load_learner("photos/model.pkl").predict("new.jpg")[0])
