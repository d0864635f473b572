package io.mingjing.phone;

import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.view.View;
import android.widget.ScrollView;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.HashSet;
import java.util.Set;

/** A whole page as a PNG, for people to look at. */
final class Picture {
    private Picture() {
    }

    static void draw(Activity activity, String name) throws IOException {
        ScrollView scroll = activity.findViewById(R.id.scroll);
        View content = scroll.getChildAt(0);
        int width = 720;
        content.measure(View.MeasureSpec.makeMeasureSpec(width, View.MeasureSpec.EXACTLY),
                View.MeasureSpec.makeMeasureSpec(0, View.MeasureSpec.UNSPECIFIED));
        content.layout(0, 0, width, content.getMeasuredHeight());
        content.jumpDrawablesToCurrentState();
        Bitmap picture = Bitmap.createBitmap(
                width, content.getHeight(), Bitmap.Config.ARGB_8888);
        Canvas canvas = new Canvas(picture);
        activity.getWindow().getDecorView().getBackground().setBounds(0, 0, width,
                content.getHeight());
        activity.getWindow().getDecorView().getBackground().draw(canvas);
        content.draw(canvas);
        Set<Integer> colors = new HashSet<>();
        for (int y = 0; y < picture.getHeight(); y += 3) {
            for (int x = 0; x < width; x += 3) {
                colors.add(picture.getPixel(x, y));
            }
        }
        assertTrue("an empty picture", colors.size() > 10);
        File dir = new File(System.getProperty("mingjing.pictures"));
        dir.mkdirs();
        try (FileOutputStream out = new FileOutputStream(new File(dir, name + ".png"))) {
            picture.compress(Bitmap.CompressFormat.PNG, 100, out);
        }
    }
}
