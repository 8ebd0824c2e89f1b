"""The guide's example, as its users have it."""

GUIDE = """\
apiVersion: sedna.io/v1alpha1
kind: Model
metadata: {name: helmet-detection-inference-big-model, namespace: default}
spec: {url: "/data/big-model/yolov3_darknet.onnx", format: "onnx"}
---
apiVersion: sedna.io/v1alpha1
kind: Model
metadata: {name: helmet-detection-inference-little-model, namespace: default}
spec: {url: "/data/little-model/yolov3_resnet18.onnx", format: "onnx"}
---
apiVersion: sedna.io/v1alpha1
kind: JointInferenceService
metadata:
  name: helmet-detection-inference-example
  namespace: default
spec:
  edgeWorker:
    model:
      name: "helmet-detection-inference-little-model"
    hardExampleMining:
      name: "IBT"
      parameters:
        - key: "threshold_img"
          value: "0.9"
        - key: "threshold_box"
          value: "0.9"
    template:
      spec:
        nodeName: $EDGE_NODE
        containers:
        - image: kubeedge/sedna-example-joint-inference-helmet-detection-little:v0.3.1
          imagePullPolicy: IfNotPresent
          name:  little-model
          env:
          - name: input_shape
            value: "416,736"
          - name: "video_url"
            value: "file://data/video/video.mp4"
          - name: "all_examples_inference_output"
            value: "/data/output"
          - name: "hard_example_cloud_inference_output"
            value: "/data/hard_example_cloud_inference_output"
          - name: "hard_example_edge_inference_output"
            value: "/data/hard_example_edge_inference_output"
          resources:
            requests:
              memory: 64M
              cpu: 100m
            limits:
              memory: 2Gi
          volumeMounts:
            - name: outputdir
              mountPath: /data/
        volumes:
          - name: outputdir
            hostPath:
              path: /joint_inference
              type: DirectoryOrCreate
  cloudWorker:
    model:
      name: "helmet-detection-inference-big-model"
    template:
      spec:
        nodeName: $CLOUD_NODE
        containers:
          - image: kubeedge/sedna-example-joint-inference-helmet-detection-big:v0.3.1
            name:  big-model
            imagePullPolicy: IfNotPresent
            env:
              - name: "input_shape"
                value: "544,544"
            resources:
              requests:
                memory: 2Gi
"""
