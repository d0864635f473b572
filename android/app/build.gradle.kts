plugins {
    id("com.android.application")
    id("com.google.protobuf")
}

android {
    namespace = "io.mingjing.phone"
    compileSdk = 34
    ndkVersion = "27.2.12479018"

    defaultConfig {
        applicationId = "io.mingjing.phone"
        minSdk = 29
        targetSdk = 34
        versionCode = 1
        versionName = "0.1.0"
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }
    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"), "proguard-rules.pro")
        }
    }
    // Deflated in the APK and unpacked when it is installed, as the manifest says (README.md, Build).
    packaging { jniLibs.useLegacyPackaging = true }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
    sourceSets["main"].jniLibs.srcDir(layout.buildDirectory.dir("rust"))
    testOptions.unitTests.isIncludeAndroidResources = true
}

// The messages come from the files the Rust side is built from.
protobuf {
    protoc { artifact = "com.google.protobuf:protoc:4.32.1" }
    generateProtoTasks {
        all().forEach { task -> task.builtins { create("java") { option("lite") } } }
    }
}
(android.sourceSets["main"] as ExtensionAware).extensions.configure<SourceDirectorySet>("proto") {
    srcDir("../../proto/proto")
}

dependencies {
    implementation("com.google.protobuf:protobuf-javalite:4.32.1")
    testImplementation("junit:junit:4.13.2")
    testImplementation("org.robolectric:robolectric:4.16")
}

// cargo install cargo-ndk --version 3.5.4
val rust by tasks.registering(Exec::class) {
    workingDir = rootDir.parentFile
    commandLine(
        "cargo", "ndk", "--platform", "24", "-t", "arm64-v8a", "-t", "x86_64",
        "-o", layout.buildDirectory.dir("rust").get().asFile.path,
        "build", "--package", "mingjing-agent", "--lib", "--no-default-features", "--features", "jni", "--profile", "android",
    )
    environment("ANDROID_NDK_HOME", androidComponents.sdkComponents.ndkDirectory.get().asFile.path)
    // The same as android/build links with.
    environment(
        "RUSTFLAGS",
        listOf("-z,max-page-size=16384", "--icf=all", "-O2", "--pack-dyn-relocs=relr", "--use-android-relr-tags")
            .joinToString(" ") { "-Clink-arg=-Wl,$it" },
    )
}
tasks.named("preBuild") { dependsOn(rust) }
