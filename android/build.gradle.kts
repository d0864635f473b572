plugins {
    id("com.android.application") version "8.7.3" apply false
    id("com.google.protobuf") version "0.9.4" apply false
}
