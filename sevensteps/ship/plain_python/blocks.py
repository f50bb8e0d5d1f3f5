"""The parts of the program that `text.program` puts together; each is read by users of the file."""

from __future__ import annotations

READ = '''
def read_weights(path):
    """Read a safetensors file: the length of the header, the header in JSON, then the numbers of all tensors."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(f"{path} is damaged, or belongs to another model.")
    start = 8 + int.from_bytes(content[:8], "little")
    tensors = {}
    for name, about in json.loads(content[8:start]).items():
        if name != "__metadata__":
            begin, end = about["data_offsets"]
            numbers = content[start + begin : start + end]
            tensors[name] = READ_NUMBERS
    return tensors


WEIGHTS = read_weights(Path(__file__).with_name(FILE))
'''

READ_BY_NUMPY = 'np.frombuffer(numbers, np.float32).reshape(about["shape"])'
READ_BY_TORCH = 'torch.frombuffer(bytearray(numbers), dtype=KINDS[about["dtype"]]).reshape(about["shape"])'
KINDS = 'KINDS = {"F32": torch.float32, "I64": torch.int64}'

PIXELS = '''
def pixels_of(picture):
    """Return the pixels (channels, height, width) of a picture: a path or a PIL picture. This part needs Pillow."""
    from PIL import Image

    if not isinstance(picture, (str, Path)):
        return pixels_in(picture, picture)
    with Image.open(picture) as image:
        return pixels_in(image, picture)


def pixels_in(image, picture):
    """Return the pixels of an open picture; errors name it as it was given."""
    from PIL import ImageOps

    if image.has_transparency_data:
        raise ValueError(f"{picture} is transparent. Save it without transparency.")
    is_deep = any("RGB;16" in str(tile) for tile in getattr(image, "tile", []))  # of which Pillow drops 8 bits
    if is_deep or image.mode.startswith(("I", "F")):
        raise ValueError(f"{picture} has more than 8 bits per channel. Save it as 8-bit RGB or gray.")
    if image.mode not in ("1", "L", "P", "RGB"):
        raise ValueError(f"{picture} is in {image.mode}. Save it as 8-bit RGB or gray.")
    image = ImageOps.exif_transpose(image).convert("L" if SHAPE[0] == 1 else "RGB")
    channels, height, width = SHAPE
    if image.size != (width, height):
        image = fitted(image, width, height)
    AS_BYTES
'''

BYTES_BY_NUMPY = """return np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1)"""
BYTES_BY_TORCH = """rows = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return rows.reshape(height, width, channels).permute(2, 0, 1)"""

FITTED = {
    "squash": '''
def fitted(image, width, height):
    """Resize the picture: stretch it."""
    return image.resize((width, height), resample=2)  # bilinear, over all pixels
''',
    "letterbox": '''
def fitted(image, width, height):
    """Resize the picture: keep all of it, and pad it with black."""
    from PIL import Image

    scale = min(width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    framed = Image.new(image.mode, (width, height))
    small = image.resize(size, resample=2)  # bilinear, over all pixels
    framed.paste(small, ((width - size[0]) // 2, (height - size[1]) // 2))
    return framed
''',
    "crop": '''
def fitted(image, width, height):
    """Resize the picture: crop both ends of the longer side."""
    scale = max(width / image.width, height / image.height)
    left, top = max((image.width - width / scale) / 2, 0.0), max((image.height - height / scale) / 2, 0.0)
    box = left, top, image.width - left, image.height - top
    return image.resize((width, height), resample=2, box=box)  # bilinear, over all pixels
''',
}

SHARES_BY_NUMPY = '''
def probabilities(pixels):
    """Return the calibrated probability of each class, for uint8 pixels (n, channels, height, width)."""
    logits = scores(pixels.astype(np.float32) / 255).astype(np.float64) / TEMPERATURE
    if logits.shape[1] == 1:  # the score of the second class, against 0
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
'''

SHARES_BY_TORCH = '''
def probabilities(pixels):
    """Return the calibrated probability of each class, for uint8 pixels (n, channels, height, width)."""
    with torch.no_grad():
        logits = NETWORK(INPUT) / TEMPERATURE
    if logits.shape[1] == 1:  # the score of the second class, against 0
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    return logits.softmax(1)
'''

SHARES_BY_MSE = '''
def probabilities(pixels):
    """Return the probability of each class, for uint8 pixels (n, channels, height, width); scores are near -1 or 1."""
    with torch.no_grad():
        logits = NETWORK(INPUT)
    if logits.shape[1] == 1:
        share = ((logits + 1) / 2).clamp(0, 1)
        return torch.cat([1 - share, share], dim=1)
    share = ((logits + 1) / 2).clamp(min=0)
    total = share.sum(1, keepdim=True)
    return torch.where(total > 1e-6, share / total.clamp(min=1e-6), logits.softmax(1))
'''

DISTANCES_BY_NUMPY = '''
def distances(pixels):
    """Return how far pictures are from the nearest class; about 1 for a picture like those of training.

    Each class is a normal distribution of pictures averaged over squares: a mean, some directions in which its pictures
    differ, and one precision for all others.
    """
    x = pixels.astype(np.float64)
    for axis, size in ((2, SHAPE[1]), (3, SHAPE[2])):
        starts = np.arange(0, size, -(-size // 16))
        counts = np.diff(np.append(starts, size)).reshape(-1, *[1] * (3 - axis))
        x = np.add.reduceat(x, starts, axis) / counts
    x = x.reshape(len(x), -1) / 255
    names = "abstain.means", "abstain.directions", "abstain.precision"
    nearest = np.full(len(x), np.inf)
    for mean, directions, precision in zip(*(WEIGHTS[name].astype(np.float64) for name in names)):
        steps = x - mean
        far = precision * (steps**2).sum(1) - ((steps @ directions.T) ** 2).sum(1)
        nearest = np.minimum(nearest, far)
    return np.maximum(nearest, 0) / x.shape[1]
'''

DISTANCES_BY_TORCH = '''
def distances(pixels):
    """Return how far pictures are from the nearest class; about 1 for a picture like those of training.

    Each class is a normal distribution of pictures averaged over squares: a mean, some directions in which its pictures
    differ, and one precision for all others.
    """
    squares = [-(-size // 16) for size in SHAPE[1:]]
    x = nn.functional.avg_pool2d(pixels.double(), squares, ceil_mode=True).flatten(1) / 255
    names = "abstain.means", "abstain.directions", "abstain.precision"
    far = []
    for mean, directions, precision in zip(*(WEIGHTS[name].double() for name in names)):
        steps = x - mean
        far.append(precision * (steps**2).sum(1) - ((steps @ directions.T) ** 2).sum(1))
    return torch.stack(far).amin(0).clamp(min=0) / x.shape[1]
'''

ANSWERS = '''
def answers(pixels):
    """Return the answer for each picture, for uint8 pixels (n, channels, height, width).

    Even with a reason to doubt the answer ("not sure", "none of these"), "class" is the most probable class.
    """
    far = distances(pixels).tolist() if LIMITS else [None] * len(pixels)
    results = []
    for shares, distance in zip(probabilities(pixels).tolist(), far):
        best = max(range(len(shares)), key=shares.__getitem__)
        reason = None
        if LIMITS and distance > LIMITS["distance"]:
            reason = "none of these"
        elif LIMITS and shares[best] < LIMITS["confidence"]:
            reason = "not sure"
        results.append(
            {
                "class": CLASSES[best],
                "probability": shares[best],
                "probabilities": dict(zip(CLASSES, shares)),
                "reason": reason,
                "distance": distance,
            }
        )
    return results


def predict(picture):
    """Return the answer for a picture: a path, or a PIL picture."""
    return answers(pixels_of(picture)[None])[0]


if __name__ == "__main__":
    if not sys.argv[1:]:
        print(__doc__)
    failed = False
    for path in sys.argv[1:]:
        try:
            pixels = pixels_of(path)
        except Exception as error:  # Pillow raises many kinds; the other pictures are classified all the same
            failed, words = True, " ".join(str(error).split()) or type(error).__name__
            print(words if path in words else f"{path}: {words}", file=sys.stderr)
            continue
        answer = answers(pixels[None])[0]
        doubt = f", {answer['reason']}" if answer["reason"] else ""
        print(f"{path}: {answer['class']} ({answer['probability']:.1%}{doubt})")
    sys.exit(1 if failed else 0)
'''
