"""`transom init`: turns an undescribed table into a commented transom.yaml. No TensorFlow, no training."""
