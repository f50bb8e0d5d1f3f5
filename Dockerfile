# Serve a model over HTTP:
#   docker build -t sevensteps .
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/model.onnx:/model.onnx:ro" sevensteps
FROM python:3.11-slim

WORKDIR /app
COPY constraints.txt LICENSE NOTICE README.md pyproject.toml ./
COPY sevensteps sevensteps

# What an ONNX file and a linear model need. PyTorch, for networks in runs, would make the image several times as large.
RUN pip install --no-cache-dir -c constraints.txt cyclopts filelock jaxtyping numpy pillow platformdirs rich safetensors tomli-w fastapi httptools onnxruntime prometheus-client python-multipart uvicorn uvloop
RUN pip install --no-cache-dir --no-deps .

USER 65534
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=3)"]
ENTRYPOINT ["sevensteps", "serve"]
CMD ["/model.onnx", "--host", "0.0.0.0"]
