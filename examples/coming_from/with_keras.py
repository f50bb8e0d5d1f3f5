"""docs/coming-from.md with Keras on PyTorch: learn from the folder photos, test on new-photos, classify new.jpg."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras

keras.utils.set_random_seed(0)


def read(folder, shuffle=True):
    # "grain" needs the package grain; without `format`, Keras needs TensorFlow, whatever the backend is.
    return keras.utils.image_dataset_from_directory(folder, image_size=(64, 64), shuffle=shuffle, format="grain")


data = read("photos")
model = keras.Sequential(
    [
        keras.Input((64, 64, 3)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(16, 3, activation="relu"),
        keras.layers.MaxPooling2D(4),
        keras.layers.Flatten(),
        keras.layers.Dense(2),
    ]
)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
model.fit(data, epochs=3, verbose=0)

test = read("new-photos", shuffle=False)
print(f"accuracy {model.evaluate(test, verbose=0)[1]:.3f}")

array = keras.utils.img_to_array(keras.utils.load_img("new.jpg", target_size=(64, 64)))
print(data.class_names[model.predict(array[None], verbose=0)[0].argmax()])

model.save("model.keras")
model.fit(data, verbose=0)
print(f"one more epoch: {model.evaluate(test, verbose=0)[1]:.3f}")
